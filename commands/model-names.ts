/** The models that Weir scores with, and the family that their routing records go by. */
export const ROUTING_FAMILY = "anomaly";
export const modelNames = ["isolation_forest", "xgboost_anomaly", "catboost_anomaly"] as const;
