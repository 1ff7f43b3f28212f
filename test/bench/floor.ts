/**
 * The floor: what no bootstrap can do without. It opens a socket, asks for an event, and sends it back, in as few lines
 * as can be. It checks nothing, and takes for granted that an event comes in one piece, so it serves small ones only.
 */
export {};

const [hostname, port] = process.env.AWS_LAMBDA_RUNTIME_API!.split(":");
const invocation = "/2018-06-01/runtime/invocation/";
const host = ` HTTP/1.1\r\nHost: ${hostname}:${port}\r\n`;
const next = `GET ${invocation}next${host}\r\n`;
const decoder = new TextDecoder("latin1");

function answer(message: string): string {
  if (message.startsWith("HTTP/1.1 202")) return next;
  const id = message.indexOf("Lambda-Runtime-Aws-Request-Id: ") + 31;
  const body = message.slice(message.indexOf("\r\n\r\n") + 4);
  const target = `${invocation}${message.slice(id, message.indexOf("\r", id))}/response`;
  return `POST ${target}${host}Content-Length: ${body.length}\r\n\r\n${body}`;
}

Bun.connect({
  hostname: hostname!,
  port: Number(port),
  socket: {
    binaryType: "uint8array", // Buffer, and what it takes to make it, are not needed
    open: (socket) => void socket.write(next),
    data: (socket, piece: Uint8Array) => void socket.write(answer(decoder.decode(piece))),
  },
});
