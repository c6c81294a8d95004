/**
 * A small cache that evicts the least recently used entry. Uses no DOM.
 * @template T
 */
export class Lru {
  #size;
  /** @type {Map<string, T>} */
  #entries = new Map();

  /** @param {number} size how many entries to keep */
  constructor(size) {
    this.#size = size;
  }

  /**
   * @param {string} key
   * @returns {T|undefined}
   */
  get(key) {
    if (!this.#entries.has(key)) return undefined;
    const value = this.#entries.get(key);
    this.#entries.delete(key);
    this.#entries.set(key, value);
    return value;
  }

  /** @param {string} key */
  delete(key) {
    this.#entries.delete(key);
  }

  /**
   * @param {string} key
   * @param {T} value
   */
  set(key, value) {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size > this.#size) this.#entries.delete(this.#entries.keys().next().value);
    return value;
  }
}
