// A steering file that is dropped on the graph becomes a Load & Apply node, or goes into the one that it falls on.
// Dropped with Shift, or opened by the menu, it is as any picture: the workflow in it opens.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { isSteering } from "./steering_file.js";

const NODE = "LineasLoadAndApplySteering";
const WIDGET = "steering_name";
const FOLDER = "steering";

let dropped = new Set();
let place = [0, 0];

// Where a file fell: the drop is handled after this listener, which only looks.
function watch(event) {
  const files = event.shiftKey ? [] : (event.dataTransfer?.files ?? []);
  dropped = new Set([...files].map((file) => file.name));
  const canvas = app.canvas;
  const box = canvas.canvas.getBoundingClientRect();
  place = canvas.ds.convertCanvasToOffset([event.clientX - box.left, event.clientY - box.top]);
}

// The server keeps one copy of a file that comes twice, and numbers another of the same name.
async function stored(file) {
  const body = new FormData();
  body.append("image", file);
  body.append("type", "output");
  body.append("subfolder", FOLDER);
  const answer = await api.fetchApi("/upload/image", { method: "POST", body });
  if (answer.status !== 200) throw new Error(`The server did not take ${file.name}: ${answer.statusText}`);
  return (await answer.json()).name;
}

function nodeAt([x, y]) {
  const under = app.graph.getNodeOnPos(x, y);
  if (under?.widgets?.some((widget) => widget.name === WIDGET)) return under;
  const node = window.LiteGraph.createNode(NODE);
  node.pos = [x, y];
  app.graph.add(node);
  return node;
}

async function take(file) {
  const name = await stored(file);
  const node = nodeAt(place);
  await app.refreshComboInNodes();
  const widget = node.widgets.find((each) => each.name === WIDGET);
  widget.value = name;
  widget.callback?.(name);
  place = [place[0] + 40, place[1] + 40];
  node.setDirtyCanvas(true, true);
}

app.registerExtension({
  name: "lineas.drop",
  setup() {
    document.addEventListener("drop", watch, true);
    const stock = app.handleFile;
    if (typeof stock !== "function") return;
    app.handleFile = async function (file, ...others) {
      const isOurs = dropped.delete(file?.name) && (await isSteering(file));
      return isOurs ? take(file) : stock.call(this, file, ...others);
    };
  },
});
