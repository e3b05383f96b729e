export { DIMENSIONS, type Embedder, OpenAiEmbedder } from "./embedder.ts";
export { EvidenceReader } from "./evidence-reader.ts";
export { EvidenceGatherer, type GathererOptions } from "./gatherer.ts";
export { type Completion, type LanguageModel, OpenAiLanguageModel } from "./language-model.ts";
export { COLLECTION, pointId, QdrantStore, type Stored, type VectorStore, type Wanted } from "./vector-store.ts";
export { ExplanationWriter, type WriterOptions, type WriterStatus } from "./writer.ts";
