// Few widgets at first sight: those that few people need are folded away, those that matter for one choice alone
// appear with it. Where the frontend folds by itself (Nodes 2.0) it does; elsewhere a button shows the others.

import { app } from "../../../scripts/app.js";
import { after, hasLink, isOurs, named } from "./nodes.js";

const MORE = "more inputs";
const FEWER = "fewer inputs";
const ROW = 24;
const ALL = "Comfy.Node.AlwaysShowAdvancedWidgets";

// Node -> widget -> [widget that chooses, the choice with which it appears].
const SHOWN_WITH = {
  LineasTrainSteering: {
    pattern: ["sites", "own pattern"],
    timestep: ["one_step", "own timestep"],
  },
  LineasSteerConcept: { to: ["intent", "swap"] },
  LineasOneStep: { timestep: ["setting", "own timestep"] },
  LineasConceptPrompts: {
    kind: ["bank", "everyday captions"],
    template: ["bank", "everyday captions"],
  },
};

function asked() {
  return app.extensionManager?.setting?.get(ALL);
}

function foldsByItself() {
  return Boolean(window.LiteGraph?.vueNodesMode) && asked() !== undefined;
}

function show(widget, shown) {
  widget.hidden = !shown;
  widget.options.hidden = !shown;
}

class Folding {
  constructor(node) {
    this.node = node;
    this.rules = SHOWN_WITH[node.comfyClass] ?? {};
    this.open = false;
    const advanced = (node.widgets ?? []).filter((widget) => widget.options?.advanced);
    for (const widget of advanced) if (widget.name in this.rules) widget.options.advanced = false;
    this.folded = advanced.filter((widget) => !(widget.name in this.rules));
    if (this.folded.length && !foldsByItself()) this.addButton();
    this.leaveOut();
  }

  // The stock size counts widgets that Nodes 2.0 has folded away.
  leaveOut() {
    const { node, folded } = this;
    const stock = node.computeSize;
    node.computeSize = function (...given) {
      const size = stock.apply(this, given);
      if (foldsByItself() && !node.showAdvanced && !asked()) size[1] -= folded.length * ROW;
      return size;
    };
  }

  addButton() {
    this.button = this.node.addWidget("button", MORE, null, () => {
      this.open = !this.open;
      this.arrange(true);
    });
    this.button.serialize = false;
    Object.assign(this.button.options, { serialize: false, canvasOnly: asked() !== undefined });
  }

  arrange(fit = false) {
    const { node } = this;
    for (const [name, [chooser, choice]] of Object.entries(this.rules)) {
      const widget = named(node, name);
      if (widget) show(widget, named(node, chooser)?.value === choice || hasLink(node, name));
    }
    const open = this.open || foldsByItself() || asked() === true;
    for (const widget of this.folded) show(widget, open || hasLink(node, widget.name));
    if (this.button) this.button.label = this.open ? FEWER : MORE;
    if (fit) node.setSize([node.size[0], node.computeSize()[1]]);
    node.setDirtyCanvas?.(true, true);
  }
}

app.registerExtension({
  name: "lineas.folding",
  nodeCreated(node) {
    if (!isOurs(node)) return;
    const folding = new Folding(node);
    const choosers = new Set(Object.values(folding.rules).map(([name]) => name));
    for (const name of choosers) {
      const widget = named(node, name);
      if (widget) after(widget, "callback", () => folding.arrange(true));
    }
    after(node, "onConfigure", () => folding.arrange());
    after(node, "onConnectionsChange", () => folding.arrange());
    folding.arrange();
    const [width, height] = node.computeSize();
    node.setSize([Math.max(node.size[0], width), height]);
  },
});
