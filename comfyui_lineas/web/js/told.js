// What a node tells about its run stands below its widgets until the next run: figures, saved paths, warnings.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { isOurs, named, nodeOf } from "./nodes.js";

const NAME = "told";
const HEIGHT = 60;

function added(node) {
  const { widget } = app.widgets.STRING(node, NAME, ["STRING", { multiline: true }], app);
  widget.serialize = false;
  Object.assign(widget.options, { serialize: false, read_only: true, getMinHeight: () => HEIGHT });
  const element = widget.element ?? widget.inputEl;
  if (element) Object.assign(element, { readOnly: true, placeholder: "" });
  return widget;
}

function tell(node, text) {
  const known = named(node, NAME);
  if (!known && !text) return;
  const widget = known ?? added(node);
  widget.value = text;
  widget.hidden = !text;
  widget.options.hidden = !text;
  const least = node.computeSize();
  if (node.size[1] < least[1]) node.setSize([node.size[0], least[1]]);
  node.setDirtyCanvas(true, true);
}

app.registerExtension({
  name: "lineas.told",
  setup() {
    const heard = new Map();
    api.addEventListener("execution_start", () => heard.clear());
    api.addEventListener("executing", ({ detail }) => {
      const node = detail && nodeOf(detail.node ?? detail);
      if (node && isOurs(node)) tell(node, "");
    });
    api.addEventListener("lineas.told", ({ detail }) => {
      heard.set(String(detail.node), detail.text);
      const node = nodeOf(detail.node);
      if (node) tell(node, detail.text);
    });
    // A node whose result is shown again from the cache tells it without a new run.
    api.addEventListener("executed", ({ detail }) => {
      const node = nodeOf(detail.node);
      const text = detail.output?.text;
      if (node && isOurs(node) && text?.length && !heard.has(String(detail.node))) {
        tell(node, [text].flat().join("\n"));
      }
    });
  },
});
