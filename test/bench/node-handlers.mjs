/** The handlers for the official Node.js client. */
import { setTimeout as sleep } from "node:timers/promises";

export const echo = async (event) => event;

export const wait = async (event) => {
  await sleep(10);
  return event;
};
