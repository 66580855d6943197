/**
 * Traces as text: what is read, what is refused and where. Laws: [tp-1] [to-1] [to-2].
 */
import { describe, expect, test } from "vitest";
import { orderTrace } from "../../src/workloads/trace/order.js";
import { type Trace, TraceError, parseTrace } from "../../src/workloads/trace/parse.js";

const HEAD = "faultline-trace 1\n";

function read(text: string): Trace {
  return parseTrace(text, "t");
}

test("every operation with every argument", () => {
  const trace = read(`# how it was made
faultline-trace 1
file 7 10000 /tmp/a name # with blanks
0 5 mmap 0x200000 8192 rw shared 7 4096   # a comment
0.000000001 5 mmap 0x300000 100 none private
0.5 5.6 store 0x200010 8
0.5 5.6 load 2097152 1
1 5 mprotect 0x200000 4096 r
1 5 msync 0x200000 8192 sync
1 5 msync 0x200000 8192 async
1.5 5 madvise 0x200000 8192 dontneed
1.5 5 read 7 0 100
1.5 5 write 7 100 1
1.5 5 truncate 7 0
1.5 5 fsync 7
1.5 5 fdatasync 7
2 5 munmap 0x200000 8192
`);
  expect(trace.files).toEqual([{ id: 7, sizeBytes: 10000, name: "/tmp/a name # with blanks" }]);
  expect(trace.threads).toEqual([
    { pid: 5, tid: 5 },
    { pid: 5, tid: 6 },
  ]);
  expect(trace.events).toHaveLength(14);
  expect(trace.events[0]).toMatchObject({
    line: 4,
    timeNs: 0,
    op: "mmap",
    address: 0x200000,
    bytes: 8192,
    prot: "rw",
    shared: true,
    file: 0,
    offset: 4096,
  });
  expect(trace.events[1]).toMatchObject({ timeNs: 1, prot: "", shared: false, file: -1 });
  expect(trace.events[2]).toMatchObject({ timeNs: 5e8, thread: 1, op: "store", address: 0x200010, bytes: 8 });
  expect(trace.events[3]).toMatchObject({ address: 2097152 });
  expect(trace.events[5]?.sync).toBe(true);
  expect(trace.events[6]?.sync).toBe(false);
  expect(trace.events[7]?.dontneed).toBe(true);
  expect(trace.events[8]).toMatchObject({ op: "read", file: 0, offset: 0, bytes: 100 });
});

describe("is refused, with its place:", () => {
  test.each([
    ["", 't:1:1: expected "faultline-trace 1"'],
    ["faultline-trace 2\n", 't:1:1: expected "faultline-trace 1"'],
    [HEAD, "t:2:1: the trace has no event"],
    [`${HEAD}file 1 10`, "t:2:9: expected: file ID SIZE NAME"],
    [`${HEAD}file 1 10 a\nfile 1 10 b\n0 1 fsync 1`, "t:3:6: file 1 is there already"],
    [`${HEAD}file 1 -1 a`, 't:2:8: size "-1": expected a whole number from 0 to 1099511627776'],
    [`${HEAD}0 1 munmap 0x200000 1\nfile 1 1 a`, "t:3:1: files stand before the first event"],
    [`${HEAD}1s 1 munmap 0x200000 1`, 't:2:1: time "1s": expected seconds, such as 0.000125'],
    [`${HEAD}1 1 munmap 0x200000 1\n  0.5 1 munmap 0x200000 1`, "t:3:3: time 0.5 is before that of the line above"],
    [`${HEAD}1 one munmap 0x200000 1`, 't:2:3: thread "one": expected PID or PID.TID'],
    [`${HEAD}1 1 unmap 0x200000 1`, 't:2:5: operation "unmap": expected one of mmap, munmap'],
    [`${HEAD}1 1 toString 0x200000 1`, 't:2:5: operation "toString"'],
    [`${HEAD}1 1`, "t:2:1: expected: SECONDS PID[.TID] OPERATION ARGUMENTS"],
    [`${HEAD}1 1 munmap 0x200000`, "t:2:20: expected: munmap ADDRESS BYTES"],
    [`${HEAD}1 1 munmap 0x200000 1 2`, 't:2:23: "2": munmap takes ADDRESS BYTES'],
    [`${HEAD}1 1 munmap 0x200010 1`, "t:2:12: address 0x200010 is not that of a page"],
    [`${HEAD}1 1 munmap 0x1000 1`, 't:2:12: address "0x1000": expected a whole number from 1048576'],
    [`${HEAD}1 1 munmap 0x7ffffffff000 8192`, "t:2:27: the range ends beyond 2^47"],
    [`${HEAD}1 1 munmap 0x200000 0`, 't:2:21: bytes "0": expected a whole number from 1'],
    [`${HEAD}1 1 mmap 0x200000 1 wr private`, 't:2:21: "wr": expected none, or letters of rwx'],
    [`${HEAD}1 1 mmap 0x200000 1 rw public`, 't:2:24: "public": expected shared or private'],
    [`${HEAD}1 1 mmap 0x200000 1 rw shared 3 0`, "t:2:31: file 3: no such file above"],
    [`${HEAD}file 3 9 a\n1 1 mmap 0x200000 1 rw shared 3`, "t:3:32: expected: mmap ADDRESS BYTES PROT shared|private FILE OFFSET"],
    [`${HEAD}file 3 9 a\n1 1 mmap 0x200000 1 rw shared 3 5`, "t:3:33: offset 5 is not that of a page"],
    [`${HEAD}1 1 msync 0x200000 1 maybe`, 't:2:22: "maybe": expected sync or async'],
  ])("%j", (text, message) => {
    expect(() => read(text)).toThrow(TraceError);
    expect(() => read(text)).toThrow(message);
  });

  test.each([
    ["1 1 store 0x200000 1", "t:2:1: store of 1 bytes at 0x200000: not all of it is mapped by then"],
    ["1 1 mmap 0x200000 4096 rw private\n1 1 store 0x200fff 2", "t:3:1: store of 2 bytes"],
    ["1 1 mmap 0x200000 8192 rw private\n1 1 munmap 0x201000 1\n1 1 store 0x201000 1", "t:4:1: store"],
    ["1 1 mmap 0x200000 8192 rw private\n1 2 load 0x200000 1", "t:3:1: load"],
  ])("a use of what is not mapped: %j", (lines, message) => {
    expect(() => orderTrace(read(HEAD + lines))).toThrow(message);
  });
});

describe("waits", () => {
  function waitsOf(lines: string): Record<number, string[]> {
    const trace = read(HEAD + lines);
    const { waits } = orderTrace(trace);
    const name = (thread: number): string => String(trace.threads[thread]?.tid);
    return Object.fromEntries([...waits].map(([event, list]) => [event.line, list.map((w) => `${name(w.thread)}x${w.count}`)]));
  }

  test("a use waits for the mapping, munmap for the uses, a mapping in the same place for munmap", () => {
    const lines = `0 1.1 mmap 0x200000 8192 rw private
0 1.2 store 0x200000 1
0 1.3 store 0x201000 1
0 1.3 load 0x201000 1
0 1.1 munmap 0x200000 8192
0 1.2 mmap 0x201000 4096 rw private
0 1.2 store 0x201000 1`;
    expect(waitsOf(lines)).toEqual({ 3: ["1x1"], 4: ["1x1"], 5: ["1x1"], 6: ["2x1", "3x2"], 7: ["1x2"] });
  });

  test("other ranges and other processes are nobody's business", () => {
    const lines = `0 1.1 mmap 0x200000 4096 rw private
0 1.2 mmap 0x300000 4096 rw private
0 1.2 store 0x300000 1
0 5 mmap 0x200000 4096 rw private
0 5 store 0x200000 1
0 1.2 munmap 0x300000 4096`;
    expect(waitsOf(lines)).toEqual({});
  });

  test("a part that is protected anew is used after that, the rest is not held up", () => {
    const lines = `0 1.1 mmap 0x200000 12288 rw private
0 1.2 mprotect 0x201000 4096 r
0 1.3 load 0x201000 1
0 1.3 load 0x202000 1`;
    expect(waitsOf(lines)).toEqual({ 3: ["1x1"], 4: ["2x1"], 5: ["1x1"] });
  });
});
