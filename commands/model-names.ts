/** The family that the routing records of Weir's models go by. */
export const ROUTING_FAMILY = "anomaly";
