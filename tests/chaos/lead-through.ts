import net from "node:net";

/**
 * Leads connections to the broker's port through the proxy's: clients take the broker's address from its own answers,
 * so it is changed where they connect. Loaded (`--import`) before anything else of a process under test, which knows
 * nothing of it. `WEIR_CHAOS_LEAD=from:to`, in ports of 127.0.0.1.
 */
const [from, to] = (process.env.WEIR_CHAOS_LEAD ?? "").split(":").map(Number);
if (from && to) {
  const connect = net.Socket.prototype.connect;
  net.Socket.prototype.connect = function (this: net.Socket, ...args: unknown[]) {
    for (const arg of args.flat()) {
      if (arg && typeof arg === "object" && "port" in arg && Number(arg.port) === from) arg.port = to;
    }
    return connect.apply(this, args as never);
  } as typeof connect;
}
