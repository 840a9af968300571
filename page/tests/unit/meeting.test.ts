import { expect, test } from "vitest";
import { meeting } from "../../src/meeting.ts";
import { told, vectors } from "./vectors.ts";

test("a classifier of another schedule is asked where Python asks it", () => {
  for (const { schedule, levels, met } of vectors.meeting) {
    levels.forEach((level, i) => {
      const { t, gain } = meeting(told(level), schedule);
      const [theirT, theirGain] = met[i]!;
      expect(Math.abs(t - theirT)).toBeLessThan(1e-6);
      expect(Math.abs(gain / theirGain - 1)).toBeLessThan(1e-9);
    });
  }
});
