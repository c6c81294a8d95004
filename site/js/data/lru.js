/** A small cache that forgets what was used longest ago. Pure. */
export class Lru {
  #size;
  #kept = new Map();

  /** @param {number} size how many entries to keep */
  constructor(size) {
    this.#size = size;
  }

  /** @param {string} key */
  get(key) {
    if (!this.#kept.has(key)) return undefined;
    const value = this.#kept.get(key);
    this.#kept.delete(key);
    this.#kept.set(key, value);
    return value;
  }

  /** @param {string} key */
  delete(key) {
    this.#kept.delete(key);
  }

  /**
   * @param {string} key
   * @param {any} value
   */
  set(key, value) {
    this.#kept.delete(key);
    this.#kept.set(key, value);
    if (this.#kept.size > this.#size) this.#kept.delete(this.#kept.keys().next().value);
    return value;
  }
}
