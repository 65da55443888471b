// What a steering file says of itself, read from its header alone.

const FORMAT = "lineas.steering";
const LONGEST = 8 * 2 ** 20;

export async function isSteering(file) {
  if (!file?.name?.endsWith(".safetensors") || file.size < 8) return false;
  const length = new DataView(await file.slice(0, 8).arrayBuffer()).getBigUint64(0, true);
  if (length > LONGEST || Number(length) + 8 > file.size) return false;
  try {
    const header = JSON.parse(await file.slice(8, 8 + Number(length)).text());
    return header.__metadata__?.format === FORMAT;
  } catch {
    return false;
  }
}
