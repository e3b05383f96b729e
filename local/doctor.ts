export interface Check {
  name: string;
}
export const doctor = async (): Promise<Check[]> => [];
export const doctorReport = (): string => "";
