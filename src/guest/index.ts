/**
 * The scripted-guest API.
 */
export * from "./constants.js";
export * from "./io.js";
export * from "./mem.js";
export * from "./sys.js";
