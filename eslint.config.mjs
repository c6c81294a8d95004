import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["site/vendor/", "site/dist/"] },
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2024, sourceType: "module" },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      eqeqeq: "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-param-reassign": "error",
      "no-shadow": "error",
      "no-unused-vars": ["error", { ignoreRestSiblings: true }],
      "no-use-before-define": ["error", { functions: false, variables: false }],
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": ["error", { destructuring: "all" }],
      "prefer-template": "error",
      "no-restricted-properties": [
        "error",
        { property: "innerHTML", message: "Names come from data: make elements with h() and s(), whose text is text." },
        { property: "outerHTML", message: "Names come from data: make elements with h() and s(), whose text is text." },
        { property: "insertAdjacentHTML", message: "Names come from data: make elements with h() and s()." },
      ],
    },
  },
  { files: ["site/js/**"], languageOptions: { globals: globals.browser } },
  { files: ["site/js/theme.js"], languageOptions: { sourceType: "script" } },
  { files: ["tests/site/**", "*.mjs"], languageOptions: { globals: globals.node } },
];
