// MQTT.js and oauth4webapi, which ./check installs outside the sources, where `import` would not look.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const folder = new URL("../../target/npm/node_modules/mqtt/", import.meta.url);
const require = createRequire(folder);

export const mqtt = require("mqtt");
// What a web page takes.
export const bundle = () => readFileSync(fileURLToPath(new URL("dist/mqtt.min.js", folder)));
// Modules alone, so that they are imported and not required.
export const oauth4webapi = () => import(new URL("../oauth4webapi/build/index.js", folder).href);
