import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { emfDimension, entityOf, entityOfStream } from "../../sources/index.ts";

const account = "123456789012";

describe("the first rule that matches names the entity", () => {
  test.each([
    ["/aws/ec2/system", "i-0123456789abcdef0", "i-0123456789abcdef0"],
    ["/application/logs", "web/i-0a1b2c3d/app.log", "i-0a1b2c3d"],
    ["/aws/rds/postgresql", "i-0a1b2c3d", "i-0a1b2c3d"],
    ["/aws/rds/postgresql", "orders-db.0", "rds/orders-db.0"],
    ["/aws/rds/instance/orders-db/postgresql", "orders-db.0", "rds/orders-db"],
    ["/aws/rds/cluster/orders/postgresql", "orders-1", "rds/orders-1"],
    ["/aws/lambda/functions", "checkout", "lambda/checkout"],
    ["/aws/lambda/checkout", "2026/01/01/[$LATEST]abc", "lambda/checkout"],
    ["/application/logs", "web-1", `${account}//application/logs/web-1`],
    ["/application/logs", "ui-0a1b2c3d4", `${account}//application/logs/ui-0a1b2c3d4`],
    ["/application/logs", "i-0123456789abcdef01", `${account}//application/logs/i-0123456789abcdef01`],
  ])("%s %s → %s", (group, stream, entity) => {
    expect(entityOfStream(account, group, stream)).toBe(entity);
  });

  test("rules of one's own see account, group, stream and named groups", () => {
    const rules = [
      { account: /^999/, entity: "foreign" },
      { group: /^\/k8s\/(?<ns>[^/]+)/, stream: /^(?<pod>.+)-\w+$/, entity: "{ns}/{pod}@{account}" },
    ];
    expect(entityOfStream(account, "/k8s/shop", "cart-x1", rules)).toBe(`shop/cart@${account}`);
    expect(entityOfStream("999", "/k8s/shop", "cart-x1", rules)).toBe("foreign");
  });
});

test.each(["g", "y", "gy"])("a pattern with flag %s matches every time, not every other time", (flags) => {
  const rules = [{ stream: new RegExp("web-(?<n>\\d)", flags), entity: "web/{n}" }];
  const names = [1, 2, 3, 4].map((n) => entityOfStream(account, "/g", `web-${n}`, rules));
  expect(names).toEqual(["web/1", "web/2", "web/3", "web/4"]);
});

describe("a metric document's dimension wins over the rules", () => {
  const document = (members: string) =>
    `{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Dimensions":[["InstanceId"]]}]},${members}}`;

  test.each([
    ["a root member", document('"cpu":1,"InstanceId":"i-1"'), "i-1"],
    ["white space", document('"InstanceId" : "i-1"'), "i-1"],
    ["text before the document", `START x ${document('"InstanceId":"i-1"')}`, "i-1"],
    ["an escape in the value", document('"InstanceId":"a\\"b"'), 'a"b'],
    ["an inner object of the same name first", document('"o":{"InstanceId":"no"},"InstanceId":"i-1"'), "i-1"],
    ["only an inner object", document('"o":{"InstanceId":"no"}'), null],
    ["inside a string", document('"m":"\\"InstanceId\\":\\"no\\""'), null],
    ["a string that ends in a backslash", document('"m":"\\\\","InstanceId":"i-1"'), "i-1"],
    ["not a string", document('"InstanceId":5'), null],
    ["empty", document('"InstanceId":""'), null],
    ["no metric document", '{"InstanceId":"i-1"}', null],
    ["no document", "InstanceId _aws", null],
  ])("%s", (_, message, expected) => {
    expect(emfDimension(message, "InstanceId")).toBe(expected);
  });

  test("in entityOf, with a dimension of another name", () => {
    const of = entityOf(account, "/metrics", "i-0a1b2c3d", { dimension: "Host" });
    expect(of('{"_aws":{},"Host":"h1","InstanceId":"i-9"}')).toBe("h1");
    expect(of("a line of text")).toBe("i-0a1b2c3d");
  });
});

describe("Enhanced Monitoring, where all instances share a group, names the instance as its logs do", () => {
  const document = '{"engine":"POSTGRES","instanceID":"orders-db","instanceResourceID":"db-ABC","cpuUtilization":{}}';
  const of = (stream: string, message = document) => entityOf(account, "RDSOSMetrics", stream)(message);

  test("the document's instance, and its standby apart", () => {
    expect(of("db-ABC")).toBe(entityOfStream(account, "/aws/rds/instance/orders-db/postgresql", "orders-db.0"));
    expect(of("db-ABC-secondary")).toBe("rds/orders-db-secondary");
  });

  test("what is no such document stays with its stream", () => {
    expect(of("db-ABC", "a line")).toBe(`${account}/RDSOSMetrics/db-ABC`);
    expect(entityOf(account, "/g", "s")(document)).toBe(`${account}//g/s`);
  });
});

test("the scan finds what a full parse finds", () => {
  const inner = fc.jsonValue({ maxDepth: 3 });
  const tricky = fc.constantFrom('"InstanceId":"x"', '\\"', "}{][", "InstanceId", '"', "\\");
  const value = fc.oneof(inner, tricky, fc.record({ InstanceId: fc.string() }), fc.array(tricky));
  const members = fc.dictionary(fc.oneof(fc.string(), tricky), value);
  fc.assert(
    fc.property(members, fc.option(fc.oneof(fc.string({ maxLength: 60 }), tricky)), members, (before, id, after) => {
      const { InstanceId: _, ...rest } = after;
      const { InstanceId: __, ...first } = before;
      const document = { _aws: {}, ...first, ...(id === null ? {} : { InstanceId: id }), ...rest };
      expect(emfDimension(JSON.stringify(document), "InstanceId")).toBe(id || null);
    }),
  );
});

test("many false hits cost time in proportion to the message, not to its square", () => {
  const message = `{"_aws":{},"o":[${'{"InstanceId":"x"},'.repeat(50_000)}1]}`;
  expect(emfDimension(message, "InstanceId")).toBe(null);
});
