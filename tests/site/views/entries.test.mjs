import assert from "node:assert/strict";
import test from "node:test";
import { rankChange } from "../../../site/js/views/comparison/entries.js";

test("how the rank of an image changed", () => {
  assert.deepEqual(rankChange("before", 1, null), { text: "left the list", tone: "gone" });
  assert.deepEqual(rankChange("after", 1, null), { text: "new", tone: "fresh" });
  assert.deepEqual(rankChange("before", 3, 3), { text: "stays", tone: "kept" });
  assert.equal(rankChange("before", 1, 21).text, "now 21st");
  assert.equal(rankChange("after", 1, 12).text, "was 12th");
  assert.equal(rankChange("after", 1, 102).text, "was 102nd");
});
