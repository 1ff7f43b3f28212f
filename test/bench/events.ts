/** The events that are sent. */
import { PreparedEvent } from "./service.ts";

/** An event of exactly so many bytes of JSON, from 30 on: up to 1,000 an object with a string, above orders. */
export function jsonEvent(bytes: number, headers: Record<string, string> = {}): PreparedEvent {
  return new PreparedEvent(
    bytes <= 1_000 ? JSON.stringify({ text: "a".repeat(bytes - 11) }) : makeOrders(bytes),
    headers,
  );
}

/** An array of objects as JSON, as `JSON.stringify` writes it, of exactly so many bytes. */
function makeOrders(bytes: number): string {
  const orders = [];
  for (let id = 1, length = 2; length < bytes - 500; id++) {
    const order = {
      id,
      customer: { name: `Customer ${id % 977}`, email: `customer.${id % 977}@example.com` },
      items: [{ sku: `SKU-${(id * 7919) % 100_000}`, quantity: (id % 9) + 1, price: ((id * 37) % 10_000) / 100 }],
      paid: id % 3 === 0,
      note: id % 5 === 0 ? 'Leave it with the neighbours, "number 12".' : null,
    };
    orders.push(order);
    length += JSON.stringify(order).length + 1;
  }
  const padding = { id: 0, note: "" };
  orders.push(padding as never);
  padding.note = "x".repeat(bytes - JSON.stringify(orders).length);
  return JSON.stringify(orders);
}
