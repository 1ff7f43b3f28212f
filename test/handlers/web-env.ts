import { http, run } from "../../runtime.ts";

run(
  http((_request, { event, context, requestContext, lambdaContext }) =>
    Response.json({ event, requestContext, id: context.awsRequestId, isSame: lambdaContext === context }),
  ),
);
