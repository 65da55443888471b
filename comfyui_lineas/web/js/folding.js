// Widgets that few people need are folded away, on the canvas too ("Show Advanced" in a node's menu), and those that
// matter for one choice alone appear with it.

import { app } from "../../../scripts/app.js";

// Node -> widget -> [widget that chooses, the choice with which it appears].
const SHOWN_WITH = {
  LineasTrainSteering: {
    pattern: ["sites", "own pattern"],
    timestep: ["one_step", "own timestep"],
  },
  LineasOneStep: { timestep: ["setting", "own timestep"] },
  LineasConceptPrompts: {
    kind: ["bank", "everyday captions"],
    template: ["bank", "everyday captions"],
  },
};

function named(node, name) {
  return node.widgets?.find((widget) => widget.name === name);
}

function isLinked(node, name) {
  return node.inputs?.some((input) => input.widget?.name === name && input.link != null);
}

function show(widget, shown) {
  widget.hidden = !shown;
  widget.options.hidden = !shown;
}

function arrange(node) {
  const rules = SHOWN_WITH[node.comfyClass] ?? {};
  for (const [name, [chooser, choice]] of Object.entries(rules)) {
    const widget = named(node, name);
    if (widget) show(widget, named(node, chooser)?.value === choice || isLinked(node, name));
  }
  node.expandToFitContent?.();
  node.setDirtyCanvas?.(true, true);
}

function after(object, method, action) {
  const stock = object[method];
  object[method] = function (...given) {
    const result = stock?.apply(this, given);
    action();
    return result;
  };
}

app.registerExtension({
  name: "lineas.folding",
  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("Lineas")) return;
    const rules = SHOWN_WITH[node.comfyClass] ?? {};
    for (const widget of node.widgets ?? []) {
      if (!widget.options?.advanced) continue;
      if (widget.name in rules) widget.options.advanced = false;
      else widget.advanced = true;
    }
    for (const chooser of new Set(Object.values(rules).map(([name]) => name))) {
      const widget = named(node, chooser);
      if (widget) after(widget, "callback", () => arrange(node));
    }
    after(node, "onConfigure", () => arrange(node));
    after(node, "onConnectionsChange", () => arrange(node));
    arrange(node);
    node.setSize?.(node.computeSize());
  },
});
