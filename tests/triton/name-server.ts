import { createSocket, type Socket } from "node:dgram";

/** Answers every question for an A record with `addresses`, as the name server of a headless service does. */
export class NameServer {
  addresses: readonly string[];
  questions = 0;
  port = 0;
  readonly #socket: Socket = createSocket("udp4");

  constructor(addresses: readonly string[]) {
    this.addresses = addresses;
  }

  async start(): Promise<this> {
    this.#socket.on("message", (query, from) => this.#socket.send(this.#answer(query), from.port, from.address));
    await new Promise<void>((resolve) => this.#socket.bind(0, "127.0.0.1", resolve));
    this.port = this.#socket.address().port;
    return this;
  }

  close(): void {
    this.#socket.close();
  }

  /** RFC 1035, section 4: header, the question as it came, one record of type A per address. */
  #answer(query: Buffer): Buffer {
    const end = query.indexOf(0, 12) + 5;
    const isA = query.readUInt16BE(end - 4) === 1;
    if (isA) this.questions++;
    const addresses = isA ? this.addresses : [];
    const header = Buffer.from(query.subarray(0, 12));
    header.writeUInt16BE(0x8180, 2);
    header.writeUInt16BE(addresses.length, 6);
    header.fill(0, 8);
    const records = addresses.map((address) => {
      // A pointer to the question's name, type A, class IN, 1 s to live, four bytes.
      const record = Buffer.from("c00c00010001000000010004", "hex");
      return Buffer.concat([record, Buffer.from(address.split(".").map(Number))]);
    });
    return Buffer.concat([header, query.subarray(12, end), ...records]);
  }
}
