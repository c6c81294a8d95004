import assert from "node:assert/strict";
import test from "node:test";
import {
  changeSummary,
  changeText,
  correlationText,
  measureSentence,
  scaleText,
} from "../../../site/js/text/changes.js";

test("values and what they say, in words", () => {
  const maps = { name: "maps", says: "…", signed: false, high: 2 };
  const shift = { name: "mean_shift", says: "…", signed: true, high: null };
  const filter = { k: 4, partner: [12, 0.75], channel: 3 };
  const say = (name, value, own = filter) => measureSentence({ name, says: "so much" }, value, own);
  assert.deepEqual(
    [changeText(maps, 0.5), changeText(shift, 0.5), changeText(shift, -0.5), changeText(shift, 0)],
    ["0.50", "+0.50", "\u22120.50", "0"],
  );
  assert.equal(changeText(maps, null), "\u2013");
  assert.deepEqual(
    [correlationText(1), correlationText(0.9999), correlationText(-0.5), correlationText(-0.001)],
    ["1.00", "over 0.99", "\u22120.50", "0.00"],
  );
  assert.match(scaleText(maps), /2: the opposite/);
  assert.match(scaleText(shift), /below it less/);
  assert.equal(say("top_max", 0.75), "3 of its 4 strongest images were replaced.");
  assert.equal(say("top_max", 0.25), "1 of its 4 strongest images was replaced.");
  assert.match(say("partner", 0.25), /filter 12 is most like it: their maps correlate at 0.75/);
  assert.doesNotMatch(say("partner", 0.25, { ...filter, partner: [3, 0.75] }), /filter 12/);
  assert.match(say("mean_shift", -0.5), /0.50 standard deviations lower/);
  assert.match(say("active", 0.12), /12 percentage points higher/);
  assert.match(say("difference", 3), /by 3.0 times how much/);
  assert.match(say("difference", 0.3), /by 30\u202f% of how much/);
  assert.match(say("cross", 1.2), /do not respond to each other/);
  assert.equal(say("of tomorrow", 0.5), "so much: 0.50.");
  assert.equal(say("maps", 0), "Nothing changed.");
  assert.match(say("maps", null), /Not defined/);
});

test("what became of a filter, in a few sentences", () => {
  const of = (values, k = 4) => changeSummary({ values }, 0, k);
  assert.match(
    of({ maps: [0.7], top_max: [1] }),
    /^It responds to little of what it did before: its maps correlate at 0.30. All 4 of its strongest/,
  );
  assert.match(of({ maps: [1.5] }), /other things than before/);
  assert.match(of({ maps: [0.001], top_max: [0] }), /almost exactly as before.*strongest images are the same\.$/);
  assert.match(of({ maps: [0], weights: [0.1] }), /maps are the same/);
  assert.equal(of({ maps: [0], top_max: [0] }), "Nothing changed in this filter, by any measure.");
  assert.match(of({ maps: [null] }), /^No measure is defined/);
  assert.match(of({ top_max: [0.5] }), /^2 of its 4 strongest images were replaced\.$/);
  assert.match(of({ top_max: [1] }, 1), /^Its strongest image was replaced\.$/);
  assert.equal(of({ selectivity: [0.5], maps: [null] }), "1 measure changed.");
});
