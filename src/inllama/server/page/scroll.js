// Follows what grows at the end, as long as the reader is there.

import { byId } from "./dom.js";

const NEAR_PX = 48;

export class Scroll {
  #isAtEnd = true;

  constructor() {
    this.scroller = byId("scroller");
    this.scroller.addEventListener("scroll", () => this.#look(), { passive: true });
    byId("to-end").addEventListener("click", () => this.toEnd());
    // The window, the keyboard of a phone and the box for the message change the height.
    new ResizeObserver(() => this.follow()).observe(this.scroller);
  }

  /** Call it when something was added. */
  follow() {
    if (this.#isAtEnd) this.toEnd();
    else this.#look();
  }

  toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#look();
  }

  #look() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    this.#isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    byId("to-end").hidden = this.#isAtEnd;
  }
}
