import { MINUTE_MS } from "./time.ts";

export const calendarFields = ["hour_of_day", "day_of_week", "is_weekend", "is_business_hours"] as const;
export type CalendarField = (typeof calendarFields)[number];

const weekdays = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/** Calendar columns of an instant, in the order of `calendarFields`. Monday is 0; business hours are 09:00–16:59, Monday to Friday. */
export type Calendar = (timestampMs: number) => readonly [number, number, number, number];

/** Throws RangeError for a time zone this system does not know. */
export function calendarIn(timezone: string): Calendar {
  if (timezone === "UTC") {
    return (timestampMs) => {
      const minutes = Math.floor(timestampMs / MINUTE_MS);
      // 1970-01-01 was a Thursday.
      return fields(Math.floor(minutes / 60) % 24, (Math.floor(minutes / 1440) + 3) % 7);
    };
  }
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: timezone,
    hour: "2-digit",
    weekday: "short",
    hourCycle: "h23",
  });
  return (timestampMs) => {
    let hour = 0;
    let day = 0;
    for (const part of format.formatToParts(timestampMs)) {
      if (part.type === "hour") hour = Number(part.value);
      else if (part.type === "weekday") day = weekdays.indexOf(part.value);
    }
    return fields(hour, day);
  };
}

function fields(hour: number, day: number): [number, number, number, number] {
  const weekend = day >= 5;
  return [hour, day, weekend ? 1 : 0, !weekend && hour >= 9 && hour < 17 ? 1 : 0];
}
