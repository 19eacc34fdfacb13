// Runs one case against a running system: `run.mjs CASE SYSTEM.json`. `run.mjs --list` prints the cases.

import { browserCases } from "./browser.mjs";
import { cases } from "./cases.mjs";
import { oauthCases } from "./oauth.mjs";
import { System } from "./system.mjs";

const all = { ...cases, ...browserCases, ...oauthCases };
const [name, path] = process.argv.slice(2);
if (name === "--list") {
  console.log(Object.keys(all).join("\n"));
} else {
  try {
    await all[name](new System(path));
    process.exit(0);
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
}
