import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import path from "node:path";

/** True if files in this folder can carry user extended attributes. Node has no call for it; Python does. */
export function supportsXattr(folder: string): boolean {
  const file = path.join(folder, `.xattr-${process.pid}`);
  writeFileSync(file, "");
  const code = "import os,sys;os.setxattr(sys.argv[1],'user.weir',b'1')";
  const probe = spawnSync("python3", ["-c", code, file], { stdio: "ignore", timeout: 20_000 });
  rmSync(file, { force: true });
  return probe.status === 0;
}
