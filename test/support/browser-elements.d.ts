/**
 * What tests of pages ask of an element in the browser. React's types name the elements of the DOM without saying what
 * they can do, for programs that have no DOM; the whole of it (lib "dom") would let services use it by mistake.
 */
interface Element {
  readonly textContent: string | null;
  getAttribute(name: string): string | null;
  checkVisibility(): boolean;
}
