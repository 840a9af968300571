/** Whether this browser can run the model at all. */

/** The smallest module with a vector instruction: a function that drops v128.const 0. */
const WITH_SIMD = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0], // the header of WebAssembly 1
  ...[1, 4, 1, 96, 0, 0], // one type: () -> ()
  ...[3, 2, 1, 0], // one function of it
  ...[10, 23, 1, 21, 0, 253, 12, ...Array<number>(16).fill(0), 26, 11],
);

/** What this browser lacks, in a sentence for the user; null if it lacks nothing. */
export function lacking(): string | null {
  if (typeof WebAssembly !== "object") {
    return "This browser does not run WebAssembly, which the model needs; open the page in a current Firefox, Chrome, Edge or Safari, without its lockdown mode.";
  }
  if (!WebAssembly.validate(WITH_SIMD)) {
    return "This browser or processor lacks WebAssembly SIMD, which the model needs; open the page in a current Firefox, Chrome, Edge or Safari.";
  }
  return null;
}
