// Who types asks often: a new question waits until the hand rests, and takes the place of the one before.

export class Turn {
  constructor(wait = 300) {
    this.wait = wait;
    this.timer = 0;
    this.controller = null;
  }

  /** Does `work(signal)` after the pause, or at once; whatever was asked before is given up. */
  take(work, { now = false } = {}) {
    this.stop();
    const controller = this.controller = new AbortController();
    const go = async () => {
      try {
        await work(controller.signal);
      } catch (error) {
        if (error.name !== "AbortError") throw error;
      }
    };
    if (now) return go();
    this.timer = setTimeout(go, this.wait);
  }

  stop() {
    clearTimeout(this.timer);
    this.controller?.abort();
  }
}
