import { MINUTE_MS } from "./time.ts";

export const calendarFields = [
  "hour_of_day",
  "day_of_week",
  "is_weekend",
  "is_business_hours",
  "day_sin",
  "day_cos",
  "week_sin",
  "week_cos",
] as const;
export type CalendarField = (typeof calendarFields)[number];

const weekdays = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const DAY_MINUTES = 1440;

/**
 * Calendar columns of an instant, in the order of `calendarFields`. Monday is 0; business hours are 09:00–16:59, Monday
 * to Friday. Sine and cosine are of the local clock's place in its day and in its week, whole turns.
 */
export type Calendar = (timestampMs: number) => readonly number[];

/** Throws RangeError for a time zone this system does not know. */
export function calendarIn(timezone: string): Calendar {
  if (timezone === "UTC") {
    return (timestampMs) => {
      const minutes = Math.floor(timestampMs / MINUTE_MS);
      // 1970-01-01 was a Thursday.
      return fields(minutes % DAY_MINUTES, (Math.floor(minutes / DAY_MINUTES) + 3) % 7);
    };
  }
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: timezone,
    hour: "2-digit",
    minute: "2-digit",
    weekday: "short",
    hourCycle: "h23",
  });
  return (timestampMs) => {
    let minuteOfDay = 0;
    let day = 0;
    for (const part of format.formatToParts(timestampMs)) {
      if (part.type === "hour") minuteOfDay += Number(part.value) * 60;
      else if (part.type === "minute") minuteOfDay += Number(part.value);
      else if (part.type === "weekday") day = weekdays.indexOf(part.value);
    }
    return fields(minuteOfDay, day);
  };
}

function fields(minuteOfDay: number, day: number): number[] {
  const weekend = day >= 5;
  const hour = Math.floor(minuteOfDay / 60);
  const ofDay = (2 * Math.PI * minuteOfDay) / DAY_MINUTES;
  const ofWeek = (2 * Math.PI * (day * DAY_MINUTES + minuteOfDay)) / (7 * DAY_MINUTES);
  const working = !weekend && hour >= 9 && hour < 17;
  return [
    hour,
    day,
    weekend ? 1 : 0,
    working ? 1 : 0,
    Math.sin(ofDay),
    Math.cos(ofDay),
    Math.sin(ofWeek),
    Math.cos(ofWeek),
  ];
}
