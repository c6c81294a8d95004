import assert from "node:assert/strict";
import test from "node:test";
import "../d3.mjs";

const { rowsPlan, treePlan } = await import("../../../site/js/layout/circuit-layout.js");

const ROOM = { width: 1200, height: 700 };

function tree(shape) {
  const nodes = [];
  const add = (children, key, parent) => {
    const node = { key, parent, level: parent ? parent.level + 1 : 0, part: parent && { share: 0.1 }, children: [] };
    nodes.push(node);
    node.children = children.map((child, i) => add(child, key ? `${key}.${i}` : `${i}`, node));
    return node;
  };
  return { root: add(shape, "", null), nodes };
}

const SHAPES = {
  root: [],
  one: [[]],
  uneven: [[[], [], []], [], [[[[]]], []]],
  wide: Array.from({ length: 30 }, () => []),
};

for (const [name, shape] of Object.entries(SHAPES)) {
  test(`nothing overlaps and nothing is outside: ${name}`, () => {
    const some = tree(shape);
    for (const plan of [treePlan(some, ROOM), rowsPlan(some, 360)]) {
      assert.equal(plan.boxes.size, some.nodes.length);
      assert.equal(plan.lines.length, some.nodes.length - 1);
      const boxes = [...plan.boxes.values()];
      boxes.forEach((one, i) => {
        assert.ok(one.x >= 0 && one.y >= 0 && one.x + one.width <= plan.width + 1e-6, plan.mode);
        assert.ok(one.y + one.height <= plan.height + 1e-6);
        for (const other of boxes.slice(i + 1)) {
          const apart = one.x + one.width <= other.x + 1e-6 || other.x + other.width <= one.x + 1e-6;
          assert.ok(apart || one.y + one.height <= other.y || other.y + other.height <= one.y);
        }
      });
    }
  });
}

test("children stand below their parent, in order", () => {
  const some = tree([[[], []], []]);
  const { boxes } = treePlan(some, ROOM);
  for (const node of some.nodes) {
    const own = boxes.get(node.key);
    const xs = node.children.map(({ key }) => boxes.get(key).x);
    assert.deepEqual(
      xs,
      [...xs].sort((p, q) => p - q),
    );
    for (const { key } of node.children) assert.ok(boxes.get(key).y > own.y + own.height);
  }
});

test("a tree takes the shape of its window, and levels with few nodes are drawn larger", () => {
  const some = tree(Array.from({ length: 4 }, () => [[], [], [], []]));
  const [root, first, second] = some.nodes.map(({ key }) => treePlan(some, ROOM).boxes.get(key).thumb);
  assert.ok(root >= first && first > second);
  const [tall, flat] = [1000, 300].map((height) => treePlan(some, { width: 1200, height }).height);
  assert.ok(tall > flat);
});

test("the width of a line follows the share, whatever its sign", () => {
  const some = tree([[], [], []]);
  [0.2, -0.1, 0.0001].forEach((share, i) => (some.nodes[i + 1].part = { share }));
  const [first, second, third] = treePlan(some, ROOM).lines.map(({ width }) => width);
  assert.ok(Math.abs(first - 2 * second) < 1e-9);
  assert.ok(third > 0.5 && third < second);
});
