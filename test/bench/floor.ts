/** The floor of a start: what no bootstrap can do without. It opens a socket and asks for an event, in three lines. */
export {};

const [hostname, port] = process.env.AWS_LAMBDA_RUNTIME_API!.split(":");
const request = `GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`;
Bun.connect({ hostname: hostname!, port: Number(port), socket: { open: (socket) => void socket.write(request), data() {} } });
