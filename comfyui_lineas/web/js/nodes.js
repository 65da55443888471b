// What the other files ask of nodes and their widgets.

import { app } from "../../../scripts/app.js";

export function isOurs(node) {
  return Boolean(node.comfyClass?.startsWith("Lineas"));
}

export function named(node, name) {
  return node.widgets?.find((widget) => widget.name === name);
}

export function hasLink(node, name) {
  return Boolean(node.inputs?.some((input) => input.widget?.name === name && input.link != null));
}

// Let something happen after each call of a method that may be there already.
export function after(object, method, action) {
  const stock = object[method];
  object[method] = function (...given) {
    const result = stock?.apply(this, given);
    action(...given);
    return result;
  };
}

// The node of an id of the server: "7", or "12:7" for one inside of a subgraph.
export function nodeOf(id) {
  let graph = app.rootGraph ?? app.graph;
  let node = null;
  for (const part of String(id).split(":")) {
    node = graph?.getNodeById?.(part) ?? graph?.getNodeById?.(Number(part)) ?? null;
    graph = node?.subgraph;
  }
  return node;
}
