import net from "node:net";

/**
 * Leads connections to the brokers' ports through the proxies': clients take a broker's address from its own answers,
 * so it is changed where they connect. Loaded (`--import`) before anything else of a process under test, which knows
 * nothing of it. `WEIR_CHAOS_LEAD=from:to,from:to`, in ports of 127.0.0.1.
 */
const led = new Map(
  (process.env.WEIR_CHAOS_LEAD ?? "")
    .split(",")
    .map((pair) => pair.split(":").map(Number) as [number, number])
    .filter(([from, to]) => from && to),
);
if (led.size > 0) {
  const connect = net.Socket.prototype.connect;
  net.Socket.prototype.connect = function (this: net.Socket, ...args: unknown[]) {
    for (const arg of args.flat()) {
      const to = arg && typeof arg === "object" && "port" in arg ? led.get(Number(arg.port)) : undefined;
      if (to) (arg as { port: number }).port = to;
    }
    return connect.apply(this, args as never);
  } as typeof connect;
}
