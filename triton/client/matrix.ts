import { WeirError } from "../../streams/index.ts";
import type { ModelInferResponse } from "./protocol.ts";

/** Rows for a model with one FP32 input [N, columns] and one FP32 output [N] or [N, width]. */
export interface MatrixRequest {
  readonly model: string;
  /** Empty or absent: the server's newest. */
  readonly version?: string;
  readonly input: string;
  readonly output: string;
  readonly columns: number;
  /** Row-major; NaN where missing. */
  readonly data: Float32Array;
}

export interface MatrixReply {
  /** The version that answered. */
  readonly version: string;
  readonly width: number;
  /** Row-major, rows × width. */
  readonly data: Float32Array;
}

/** The matrix out of a reply, checked against the request: name, type, shape and, always, the number of bytes. */
export function readReply(request: MatrixRequest, rows: number, reply: ModelInferResponse): MatrixReply {
  const who = `${reply.model_name || request.model} version ${reply.model_version || "?"}`;
  const { version = "" } = request;
  if (version !== "" && reply.model_version !== "" && reply.model_version !== version) {
    throw new WeirError(
      "MODEL_VERSION_MISMATCH",
      "fatal",
      `Version ${version} of ${request.model} was asked, version ${reply.model_version} answered.`,
      "Serve both versions (version_policy) or route to the one that is served.",
    );
  }
  const at = reply.outputs.findIndex((output) => output.name === request.output);
  const output = reply.outputs[at];
  const shape = output?.shape ?? [];
  if (output?.datatype !== "FP32" || shape[0] !== rows || shape.length > 2) {
    const got = reply.outputs.map((o) => `${o.name} ${o.datatype} [${o.shape.join(", ")}]`).join("; ") || "no output";
    throw new WeirError(
      "MODEL_SHAPE_MISMATCH",
      "fatal",
      `${who}: ${request.output} FP32 [${rows}, width] was expected, the answer holds ${got}.`,
      "Compare the model's manifest with its config.pbtxt and model file.",
    );
  }
  const width = shape[1] ?? 1;
  const raw = reply.raw_output_contents[at] ?? Buffer.alloc(0);
  if (raw.length !== rows * width * 4) {
    throw new WeirError(
      "MODEL_OUTPUT_SHORT",
      "fatal",
      `${who}: ${request.output} [${shape.join(", ")}] needs ${rows * width * 4} bytes, the answer has ${raw.length}.`,
      "Check the server's Python packages: Triton's python backend answers no bytes with numpy 2 or newer.",
    );
  }
  // The bytes lie anywhere inside the frame; a Float32Array needs them aligned.
  const data = new Float32Array(rows * width);
  new Uint8Array(data.buffer).set(raw);
  return { version: reply.model_version || version, width, data };
}
