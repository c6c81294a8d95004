import assert from "node:assert/strict";
import test from "node:test";
import {
  count,
  number,
  ordinal,
  percent,
  plural,
  terms,
  truncate,
  truncateStart,
} from "../../../site/js/text/format.js";

test("the terms of a sum have one number of decimals, and no sign", () => {
  assert.deepEqual(terms([55.5, 119.6, -64.2, 0.1]), ["55.5", "119.6", "64.2", "0.1"]);
  assert.deepEqual(terms([0.0123456, -0.001]), ["0.01235", "0.00100"]);
  assert.deepEqual(terms([123456.7, -1]), ["123457", "1"]);
  assert.deepEqual(terms([0, 0]), ["0", "0"]);
});

test("numbers as people read them", () => {
  assert.equal(number(1234.5), "1235");
  assert.equal(number(-0.01234), "\u22120.0123");
  assert.equal(number(0), "0");
  assert.equal(number(123456), "123\u202f456");
  assert.equal(number(null), "\u2013");
  assert.equal(number(1e-9), "1.00e-9");
  assert.equal(count(1234567), "1\u202f234\u202f567");
  assert.equal(percent(1), "100\u202f%");
  assert.equal(percent(0.9999), "> 99.9\u202f%");
  assert.equal(percent(0.00001), "< 0.1\u202f%");
  assert.equal(percent(0.034), "3.4\u202f%");
  assert.equal(plural(1, "image"), "1 image");
  assert.deepEqual([1, 2, 3, 4, 11, 12, 13, 21, 102, 111].map(ordinal), [
    "1st",
    "2nd",
    "3rd",
    "4th",
    "11th",
    "12th",
    "13th",
    "21st",
    "102nd",
    "111th",
  ]);
  assert.equal(truncate("abcdef", 4), "abc\u2026");
  assert.equal(truncateStart("layer1.0.conv1", 14), "layer1.0.conv1");
  assert.equal(truncateStart("features.denseblock2.denselayer3.conv2", 22), "\u2026denselayer3.conv2");
  assert.equal(truncateStart("a_name_without_any_dots_in_it", 8), "\u2026s_in_it");
});
