// Holds docs/openapi.yaml against public tools. One JSON request comes on standard input, one JSON answer goes to
// standard output: what the tools complain about, list by list. spec/openapi_spec.lua starts it and judges.
"use strict";

// The library of the linter uses no network here; what its command would send is switched off all the same.
process.env.REDOCLY_TELEMETRY = "off";
process.env.REDOCLY_SUPPRESS_UPDATE_NOTICE = "true";

const fs = require("fs");
const path = require("path");
const Ajv = require("ajv");
const addFormats = require("ajv-formats");
const redocly = require("@redocly/openapi-core");

const METHODS = ["get", "put", "post", "delete"];
const JSON_TYPE = "application/json";

// ---- the document and its schemas ----

function load(file) {
  const document = redocly.parseYaml(fs.readFileSync(file, "utf8"));
  // An OpenAPI document is no schema: unknown words such as "example" and "x-source" are looked over. Ajv knows
  // "nullable" as OpenAPI 3.0 means it.
  const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: true });
  addFormats(ajv);
  ajv.addSchema(document, "document");
  return { document, ajv };
}

const escape = (key) => key.replace(/~/g, "~0").replace(/\//g, "~1");
const pointer = (keys) => "document#/" + keys.map((key) => encodeURIComponent(escape(key))).join("/");

// Follows a reference inside the document; answers the value and the keys that lead to it.
function resolve(document, keys) {
  let value = keys.reduce((holder, key) => holder[key], document);
  if (value && value.$ref) {
    return resolve(document, value.$ref.replace(/^#\//, "").split("/"));
  }
  return { value, keys };
}

// The complaints of the schema at these keys about a value; none means that it fits.
function complaints({ ajv }, keys, value) {
  const ref = pointer(keys);
  const validate = ajv.getSchema(ref) || ajv.compile({ $ref: ref });
  return validate(value) ? [] : validate.errors.map((error) => `${error.instancePath} ${error.message}`);
}

function operations(document) {
  const found = {};
  for (const route of Object.keys(document.paths)) {
    for (const method of METHODS) {
      const operation = document.paths[route][method];
      if (operation) {
        found[operation.operationId] = { operation, keys: ["paths", route, method] };
      }
    }
  }
  return found;
}

// ---- requests ----

// The values of the parameters, by place, as a payload and the options of its call give them.
function parametersOf(parameters, sample) {
  const options = sample.options || {};
  const values = { header: { ...sample.headers }, query: {}, path: {} };
  if (options.organization_id !== undefined) {
    values.header["PAC-Organization-ID"] = options.organization_id;
  }
  if (options.distributor_code !== undefined) {
    values.query.distributorCode = options.distributor_code;
  }
  if (sample.kind === "path") {
    const isObject = sample.payload !== null && typeof sample.payload === "object";
    const only = parameters.find((parameter) => parameter.value.in === "path").value.name;
    values.path = isObject ? sample.payload : { [only]: sample.payload };
  } else if (sample.kind === "query" && typeof sample.payload === "object") {
    Object.assign(values.query, sample.payload);
  }
  return values;
}

function parametersIn(loaded, { operation, keys }) {
  return operation.parameters.map((_, index) => resolve(loaded.document, [...keys, "parameters", String(index)]));
}

function valueComplaints(loaded, { operation, keys }, parameters, values, body) {
  const found = [];
  for (const parameter of parameters) {
    const value = values[parameter.value.in][parameter.value.name];
    if (value !== undefined && value !== null) {
      found.push(...complaints(loaded, [...parameter.keys, "schema"], value));
    } else if (parameter.value.required || value === null) {
      found.push(`${parameter.value.name} is required`);
    }
  }
  if (operation.requestBody) {
    found.push(...complaints(loaded, [...keys, "requestBody", "content", JSON_TYPE, "schema"], body ?? null));
  }
  return found;
}

function requestComplaints(loaded, found, sample) {
  const parameters = parametersIn(loaded, found);
  const values = parametersOf(parameters, sample);
  return valueComplaints(loaded, found, parameters, values, sample.payload);
}

// ---- whole requests, as they go out ----

// Headers that no parameter may describe, by what describes them instead.
function describedHeaders(document, operation) {
  const names = Object.keys(operation["x-fixed-headers"]);
  for (const requirement of operation.security || document.security) {
    for (const name of Object.keys(requirement)) {
      const scheme = document.components.securitySchemes[name];
      names.push(scheme.type === "apiKey" ? scheme.name : "Authorization");
    }
  }
  return names;
}

function placeComplaints(document, { operation, keys }, sent, parameters) {
  const [, route, method] = keys;
  const form = route.replace(/[.]/g, "\\.").replace(/\{[^}]*\}/g, "[^/]+");
  const headers = parameters.filter((parameter) => parameter.value.in === "header");
  const known = headers.map((parameter) => parameter.value.name);
  const described = describedHeaders(document, operation);
  const found = [];
  if (sent.method.toLowerCase() !== method || !new RegExp(`^${form}$`).test(sent.url.pathname)) {
    found.push("another method or path");
  }
  for (const name of Object.keys(sent.headers)) {
    if (!known.includes(name) && !described.includes(name)) {
      found.push(`${name} is not described`);
    }
  }
  for (const name of described) {
    if (!(name in sent.headers)) {
      found.push(`${name} is not sent`);
    }
  }
  return found;
}

function wireComplaints(loaded, found, request) {
  const parameters = parametersIn(loaded, found);
  const sent = { ...request, url: new URL(request.url) };
  const [, route] = found.keys;
  const names = (route.match(/\{[^}]*\}/g) || []).map((name) => name.slice(1, -1));
  const last = decodeURIComponent(sent.url.pathname.split("/").pop());
  const values = {
    header: sent.headers,
    query: Object.fromEntries(sent.url.searchParams),
    path: Object.fromEntries(names.map((name) => [name, last])),
  };
  const body = request.body && JSON.parse(request.body);
  return [
    ...placeComplaints(loaded.document, found, sent, parameters),
    ...valueComplaints(loaded, found, parameters, values, body),
  ];
}

// ---- answers, messages, and the document's own examples ----

function answerComplaints(loaded, { keys }, sample) {
  return complaints(loaded, [...keys, "responses", sample.status, "content", JSON_TYPE, "schema"], sample.body);
}

function messageComplaints(loaded, sample) {
  const schema = sample.entity[0].toUpperCase() + sample.entity.slice(1) + "Message";
  return complaints(loaded, ["components", "schemas", schema], sample.body);
}

// Walks everything that has a schema with an example or examples beside it.
function exampleComplaints(loaded, keys, node, found) {
  if (node === null || typeof node !== "object") {
    return found;
  }
  if (node.schema && (node.examples || "example" in node)) {
    const named = node.examples || {};
    const values = Object.keys(named).map((name) => [name, resolve(loaded.document, [...keys, "examples", name])]);
    const list = values.map(([name, example]) => [name, example.value.value]);
    if ("example" in node) {
      list.push(["example", node.example]);
    }
    const schema = resolve(loaded.document, [...keys, "schema"]).keys;
    for (const [name, value] of list) {
      found.count += 1;
      complaints(loaded, schema, value).forEach((text) => found.wrong.push(`${keys.join("/")} ${name}: ${text}`));
    }
    return found;
  }
  const isComponents = keys.join("/") === "components";
  for (const key of Object.keys(node)) {
    if (!(isComponents && key === "examples")) {
      exampleComplaints(loaded, [...keys, key], node[key], found);
    }
  }
  return found;
}

// ---- the linter ----

async function lint(file) {
  const config = await redocly.createConfig(fs.readFileSync(path.join(__dirname, "redocly.yaml"), "utf8"));
  const problems = await redocly.lint({ ref: file, config });
  return problems.filter((problem) => !problem.ignored).map((problem) => {
    const place = problem.location[0] || {};
    return `${problem.severity} ${problem.ruleId}: ${problem.message} (${place.pointer || ""})`;
  });
}

async function main() {
  const task = JSON.parse(fs.readFileSync(0, "utf8"));
  const loaded = load(task.document);
  const known = operations(loaded.document);
  const answer = {
    operations: Object.keys(known).sort(),
    lint: await Promise.all(task.lint.map(lint)),
    requests: task.requests.map((sample) => requestComplaints(loaded, known[sample.operation], sample)),
    wire: task.wire.map((request) => wireComplaints(loaded, known[request.operation], request)),
    answers: task.answers.map((sample) => answerComplaints(loaded, known[sample.operation], sample)),
    messages: task.messages.map((sample) => messageComplaints(loaded, sample)),
    examples: exampleComplaints(loaded, [], loaded.document, { count: 0, wrong: [] }),
  };
  process.stdout.write(JSON.stringify(answer) + "\n");
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
