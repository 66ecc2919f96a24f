// The golden vectors: files are read when they are asked for.
"use strict";
const { readFileSync } = require("fs");
const { join } = require("path");

const read = (file) => JSON.parse(readFileSync(join(__dirname, "vectors", file), "utf8"));
const view = new DataView(new ArrayBuffer(8));

exports.index = read("index.json");
exports.files = exports.index.files.map((each) => each.file);
exports.load = (file) => read(file);
exports.cases = (profile) => {
  const all = exports.files.flatMap((file) => read(file).cases);
  return profile === undefined ? all : all.filter((each) => each.profile === profile);
};
exports.fromBits = (bits) => (view.setBigUint64(0, BigInt("0x" + bits)), view.getFloat64(0));
exports.toBits = (x) => (view.setFloat64(0, x), view.getBigUint64(0).toString(16).padStart(16, "0"));
