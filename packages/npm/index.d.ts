/** What index.json holds: files, profiles, clauses, flags, variants. */
export const index: { version: number; files: { file: string }[]; [field: string]: unknown };
/** The names of the files of cases. */
export const files: string[];
/** One file, parsed, such as load("wrapper.json"). */
export function load(file: string): { cases: Case[]; [field: string]: unknown };
/** The cases of a profile, or all of them. */
export function cases(profile?: string): Case[];
/** From the 16 hexadecimal digits of a binary64 number, and back. */
export function fromBits(bits: string): number;
export function toBits(x: number): string;
export interface Case {
  id: string;
  profile: string;
  clause: string;
  flags: string[];
  steps: number;
  [field: string]: unknown;
}
