/**
 * Exit codes, and the errors that lead to them: 0 ok, 1 failed, 2 usage.
 */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}

export { suggestion } from "../sim/describe.js";
