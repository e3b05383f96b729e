import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** The last `count` non-empty lines of a file, from its last 16 KiB; empty if there is no such file. */
export function lastLines(file: string, count: number): string {
  let fd: number;
  try {
    fd = openSync(file, "r");
  } catch {
    return "";
  }
  try {
    const { size } = fstatSync(fd);
    const buffer = Buffer.alloc(Math.min(size, 16 * 1024));
    readSync(fd, buffer, 0, buffer.length, size - buffer.length);
    const lines = buffer.toString("utf8").split("\n");
    return lines
      .filter((line) => line.trim() !== "")
      .slice(-count)
      .join("\n");
  } finally {
    closeSync(fd);
  }
}
