import { json, run } from "../../runtime.ts";
import { DynamoDBClient, GetItemCommand } from "@aws-sdk/client-dynamodb";

const client = new DynamoDBClient();

run(
  json(async (id: string) => {
    const { Item } = await client.send(new GetItemCommand({ TableName: "greetings", Key: { id: { S: id } } }));
    return Item?.greeting?.S;
  }),
);
