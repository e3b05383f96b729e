export { type IncidentType, incidentTypes, severities } from "./classify.ts";
export { type IncidentRules, rulesForHop } from "./group.ts";
export { type IncidentsOptions, IncidentsProcessor } from "./incidents.ts";
