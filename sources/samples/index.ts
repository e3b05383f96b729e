export { JsonSampleReader, MAX_SAMPLE_BYTES } from "./json-sample.ts";
