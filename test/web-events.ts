/** Events of each kind, after the examples in the AWS documentation. */

export type WebEvent = Record<string, unknown>;

export interface WebRequest {
  method?: string;
  /** As the client sends it, percent-encoded. */
  path?: string;
  query?: [name: string, value: string][];
  headers?: [name: string, value: string][];
  cookies?: string[];
  /** A string is sent as text, bytes in base64. */
  body?: string | Buffer;
}

/** Who sent the request, as the service tells it; what came before in `x-forwarded-for` the client may have made up. */
export const sourceIp = "192.0.2.1";

const common: [string, string][] = [
  ["host", "example.com"],
  ["x-forwarded-for", `198.51.100.7, ${sourceIp}`],
  ["x-forwarded-proto", "https"],
  ["x-forwarded-port", "443"],
];

const payload = ({ body }: WebRequest, absent: null | "" | undefined) =>
  body === undefined
    ? { ...(absent === undefined ? {} : { body: absent }), isBase64Encoded: false }
    : { body: typeof body === "string" ? body : body.toString("base64"), isBase64Encoded: typeof body !== "string" };

const encoded = (query: WebRequest["query"] = []): [string, string][] =>
  query.map(([name, value]) => [encodeURIComponent(name), encodeURIComponent(value)]);

/** All values of a name, in order. */
function grouped(pairs: [string, string][]): Record<string, string[]> {
  const groups: Record<string, string[]> = {};
  for (const [name, value] of pairs) (groups[name] ??= []).push(value);
  return groups;
}

/** https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads */
export function functionUrl(request: WebRequest): WebEvent {
  const { method = "GET", path = "/", query, headers = [], cookies } = request;
  const joined = Object.entries(grouped([...common, ...headers])).map(([name, values]) => [name, values.join(",")]);
  return {
    version: "2.0",
    routeKey: "$default",
    rawPath: path,
    rawQueryString: encoded(query)
      .map((pair) => pair.join("="))
      .join("&"),
    ...(cookies ? { cookies } : {}),
    headers: Object.fromEntries(joined),
    requestContext: {
      accountId: "123456789012",
      apiId: "id",
      domainName: "id.lambda-url.us-west-2.on.aws",
      http: { method, path, protocol: "HTTP/1.1", sourceIp, userAgent: "agent" },
      requestId: "id",
      routeKey: "$default",
      stage: "$default",
      time: "12/Mar/2020:19:03:58 +0000",
      timeEpoch: 1583348638390,
    },
    ...payload(request, undefined),
  };
}

/** https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html (version 2.0) */
export function httpApi(request: WebRequest): WebEvent {
  const { method = "GET", path = "/", query } = request;
  return {
    ...functionUrl(request),
    routeKey: `${method} ${path}`,
    ...(query ? { queryStringParameters: Object.fromEntries(query) } : {}),
    pathParameters: {},
    stageVariables: {},
  };
}

/** https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html (version 1.0) */
export function restApi(request: WebRequest): WebEvent {
  const { method = "GET", path = "/", query, headers = [], cookies } = request;
  const fields: [string, string][] = [
    ...common,
    ...headers,
    ...(cookies ? [["Cookie", cookies.join("; ")] as [string, string]] : []),
  ];
  return {
    resource: "/{proxy+}",
    path,
    httpMethod: method,
    headers: Object.fromEntries(fields),
    multiValueHeaders: grouped(fields),
    queryStringParameters: query ? Object.fromEntries(query) : null,
    multiValueQueryStringParameters: query ? grouped(query) : null,
    pathParameters: { proxy: path.slice(1) },
    stageVariables: null,
    requestContext: {
      accountId: "123456789012",
      apiId: "id",
      domainName: "id.execute-api.us-east-1.amazonaws.com",
      httpMethod: method,
      identity: { sourceIp, userAgent: "agent" },
      path: `/prod${path}`,
      protocol: "HTTP/1.1",
      requestId: "id=",
      resourcePath: "/{proxy+}",
      stage: "prod",
    },
    ...payload(request, null),
  };
}

/** https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html */
export function alb(request: WebRequest): WebEvent {
  const { method = "GET", path = "/", query, headers = [], cookies } = request;
  const fields: [string, string][] = [
    ...common,
    ...headers,
    ...(cookies ? [["cookie", cookies.join("; ")] as [string, string]] : []),
  ];
  return {
    requestContext: {
      elb: { targetGroupArn: "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/lambda/0" },
    },
    httpMethod: method,
    path,
    queryStringParameters: Object.fromEntries(encoded(query)),
    headers: Object.fromEntries(fields),
    ...payload(request, ""),
  };
}

/** The same with multi-value headers enabled on the target group. */
export function albMultiValue(request: WebRequest): WebEvent {
  const { query, headers = [], cookies } = request;
  const { headers: _, queryStringParameters: __, ...rest } = alb(request);
  const fields: [string, string][] = [
    ...common,
    ...headers,
    ...(cookies ? [["cookie", cookies.join("; ")] as [string, string]] : []),
  ];
  return { ...rest, multiValueHeaders: grouped(fields), multiValueQueryStringParameters: grouped(encoded(query)) };
}

/** https://docs.aws.amazon.com/vpc-lattice/latest/ug/lambda-functions.html (version 2.0); the path of a real one has the query. */
export function lattice(request: WebRequest): WebEvent {
  const { method = "GET", path = "/", query = [], headers = [], cookies } = request;
  const fields: [string, string][] = [
    ...common,
    ...headers,
    ...(cookies ? [["cookie", cookies.join("; ")] as [string, string]] : []),
  ];
  const search = encoded(query)
    .map((pair) => pair.join("="))
    .join("&");
  const arn = (what: string) => `arn:aws:vpc-lattice:us-east-2:123456789012:${what}`;
  return {
    version: "2.0",
    path: search ? `${path}?${search}` : path,
    method,
    headers: grouped(fields),
    queryStringParameters: grouped(query),
    requestContext: {
      serviceNetworkArn: arn("servicenetwork/sn-0bf3f2882e9cc805a"),
      serviceArn: arn("service/svc-0a40eebed65f8d69c"),
      targetGroupArn: arn("targetgroup/tg-6d0ecf831eec9f09"),
      identity: {
        sourceVpcArn: "arn:aws:ec2:us-east-2:123456789012:vpc/vpc-0b8276c84697e7339",
        type: "AWS_IAM",
        principal: "arn:aws:iam::123456789012:role/role",
      },
      region: "us-east-2",
      timeEpoch: "1690497599177430",
    },
    ...payload(request, undefined),
  };
}

const restContext = { accountId: "123456789012", apiId: "id", requestId: "id=", stage: "prod" };

/** Events that hold the fields of a request, and are none; their members are those that the documentation shows. */
export const notRequests: Record<string, { from: string; event: WebEvent }> = {
  /** https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html */
  "a REST API's authorizer": {
    from: "a Lambda authorizer",
    event: { ...restApi({}), type: "REQUEST", methodArn: "arn:aws:execute-api:us-east-1:123456789012:id/prod/GET/p" },
  },
  "a REST API's authorizer of tokens": {
    from: "a Lambda authorizer",
    event: {
      type: "TOKEN",
      methodArn: "arn:aws:execute-api:us-east-1:123456789012:id/prod/GET/p",
      authorizationToken: "",
    },
  },
  /** https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html (versions 2.0 and 1.0) */
  "an HTTP API's authorizer": {
    from: "a Lambda authorizer",
    event: {
      ...httpApi({}),
      type: "REQUEST",
      routeArn: "arn:aws:execute-api:us-east-1:123456789012:id/$default/GET/p",
    },
  },
  "an HTTP API's authorizer of version 1.0": {
    from: "a Lambda authorizer",
    event: {
      ...restApi({}),
      version: "1.0",
      type: "REQUEST",
      methodArn: "arn:aws:execute-api:us-east-1:123456789012:id",
    },
  },
  /** https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-route-keys-connect-disconnect.html */
  "a WebSocket that is opened": {
    from: "a WebSocket",
    event: {
      headers: { Host: "id.execute-api.us-east-1.amazonaws.com", Upgrade: "websocket" },
      multiValueHeaders: { Host: ["id.execute-api.us-east-1.amazonaws.com"], Upgrade: ["websocket"] },
      requestContext: { ...restContext, routeKey: "$connect", eventType: "CONNECT", connectionId: "id=" },
      isBase64Encoded: false,
    },
  },
  "a message over a WebSocket": {
    from: "a WebSocket",
    event: {
      requestContext: { ...restContext, routeKey: "$default", eventType: "MESSAGE", connectionId: "id=" },
      body: "text",
      isBase64Encoded: false,
    },
  },
  "an authorizer of WebSockets": {
    from: "a Lambda authorizer",
    event: {
      type: "REQUEST",
      methodArn: "arn:aws:execute-api:us-east-1:123456789012:id/prod/$connect",
      headers: { Host: "id.execute-api.us-east-1.amazonaws.com" },
      requestContext: { ...restContext, routeKey: "$connect", eventType: "CONNECT", connectionId: "id=" },
    },
  },
};
