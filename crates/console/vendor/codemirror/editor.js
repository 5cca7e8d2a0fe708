// The editor of the console: CodeMirror with YAML, made to ask the gateway for mistakes and completions.
//
// It lives in a shadow root, where its styles are constructed style sheets, which the page's policy permits.

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { HighlightStyle, bracketMatching, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { forceLinting, lintGutter, lintKeymap, linter, nextDiagnostic } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState } from "@codemirror/state";
import { EditorView, drawSelection, highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const colours = HighlightStyle.define([
  { tag: [tags.definition(tags.propertyName), tags.propertyName], color: "var(--accent)" },
  { tag: tags.comment, color: "var(--muted)", fontStyle: "italic" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--good)" },
  { tag: [tags.keyword, tags.typeName, tags.labelName], color: "var(--warn)" },
]);

const looks = EditorView.theme({
  "&": { height: "100%", color: "var(--ink)", backgroundColor: "var(--card)", fontSize: "14px" },
  "&.cm-focused": { outline: "3px solid var(--accent)", outlineOffset: "-3px" },
  ".cm-scroller": { fontFamily: "ui-monospace, 'DejaVu Sans Mono', monospace", lineHeight: "1.5" },
  ".cm-content": { caretColor: "var(--ink)", padding: "8px 0" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  ".cm-gutters": { backgroundColor: "var(--page)", color: "var(--muted)", borderRight: "1px solid var(--edge)" },
  ".cm-activeLine": { backgroundColor: "var(--line-back)" },
  ".cm-activeLineGutter": { backgroundColor: "var(--edge)", color: "var(--ink)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--band)" },
  ".cm-selectionMatch": { backgroundColor: "var(--band)" },
  ".cm-matchingBracket, &.cm-focused .cm-matchingBracket": { backgroundColor: "var(--band)", outline: "1px solid var(--accent)" },
  ".cm-tooltip": { backgroundColor: "var(--card)", color: "var(--ink)", border: "1px solid var(--muted)", borderRadius: "7px", overflow: "hidden" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "3px 8px" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-completionDetail": { color: "var(--muted)", fontStyle: "normal", marginLeft: "1.5em" },
  "li[aria-selected] .cm-completionDetail": { color: "var(--on-accent)" },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "700" },
  ".cm-diagnostic-error": { borderLeft: "4px solid var(--bad)" },
  ".cm-diagnosticAction": { backgroundColor: "var(--accent)", color: "var(--on-accent)", borderRadius: "5px", padding: "2px 8px", border: "0", cursor: "pointer" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad)" },
  ".cm-lintPoint::after": { borderBottomColor: "var(--bad)" },
  ".cm-panels": { backgroundColor: "var(--page)", color: "var(--ink)", borderColor: "var(--edge)" },
  ".cm-textfield": { backgroundColor: "var(--card)", color: "var(--ink)", border: "1px solid var(--muted)", borderRadius: "5px" },
  ".cm-button": { backgroundImage: "none", backgroundColor: "var(--card)", color: "var(--ink)", border: "1px solid var(--muted)", borderRadius: "5px" },
});

// Which line ends a text has. Others than its own stay as they are, so that nothing changes that nobody has changed.
function lineEnd(text) {
  return /\r\n/.test(text) && !/(^|[^\r])\n|\r(?!\n)/.test(text) ? "\r\n" : "\n";
}

// Where a place of the gateway's (line and column from 1, in characters) is.
function offset(doc, line, column) {
  const found = doc.line(Math.max(1, Math.min(line, doc.lines)));
  let at = found.from;
  for (const character of found.text) {
    if (--column < 1) break;
    at += character.length;
  }
  return at;
}

function diagnostics(doc, mistakes, repair) {
  return mistakes.map((mistake) => {
    const from = offset(doc, mistake.line || 1, mistake.column || 1);
    const line = doc.lineAt(from);
    const word = /^[^\s:,\[\]{}#]+/.exec(line.text.slice(from - line.from));
    const to = word ? from + word[0].length : Math.min(from + 1, line.to);
    const actions = [];
    if (mistake.suggestion && word)
      actions.push({ name: repair(mistake.suggestion), apply: (view, from, to) => view.dispatch({ changes: { from, to, insert: mistake.suggestion } }) });
    return { from, to, severity: "error", message: (mistake.path ? `${mistake.path}: ` : "") + mistake.message, actions };
  });
}

// Shows a text in `parent`, an element of the shadow root `root`.
export function mount({ root, parent, text, label, phrases, readOnly, changed, check, complete, repair }) {
  const source = async (context) => {
    if (!context.explicit && !context.matchBefore(/[\w-]$/)) return null;
    const before = [...context.state.sliceDoc(0, context.pos)];
    const told = await complete(context.state.sliceDoc(), before.length).catch(() => null);
    if (!told || context.aborted || !told.items.length) return null;
    // The gateway counts characters, CodeMirror units of UTF-16.
    const typed = before.slice(told.from).join("").length;
    return {
      from: context.pos - typed,
      options: told.items.map(({ text, kind, detail }) => ({
        label: text, detail, type: kind === "key" ? "property" : "enum", apply: kind === "key" ? `${text}: ` : text,
      })),
      validFor: /^[\w-]*$/,
    };
  };
  const lint = async (view) => {
    const mistakes = await check(view.state.sliceDoc()).catch(() => null);
    return mistakes ? diagnostics(view.state.doc, mistakes, repair) : [];
  };
  const state = (text) => EditorState.create({
    doc: text,
    extensions: [
      EditorState.lineSeparator.of(lineEnd(text)),
      EditorState.phrases.of(phrases),
      EditorState.readOnly.of(Boolean(readOnly)),
      EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0", spellcheck: "false", autocapitalize: "off" }),
      lineNumbers(), highlightActiveLineGutter(), highlightSpecialChars(), history(), drawSelection(), indentOnInput(),
      bracketMatching(), closeBrackets(), highlightActiveLine(), highlightSelectionMatches(), search({ top: true }),
      yaml(), syntaxHighlighting(colours), looks,
      autocompletion({ override: [source], icons: false }),
      lintGutter(), linter(lint, { delay: 500 }),
      keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...completionKeymap, ...lintKeymap]),
      EditorView.updateListener.of((update) => update.docChanged && changed(update.state.sliceDoc())),
    ],
  });
  const view = new EditorView({ state: state(text), parent, root });
  return {
    text: () => view.state.sliceDoc(),
    // Another text in the place of all of it, which can be undone.
    put: (text) => {
      if (lineEnd(text) !== view.state.lineBreak) view.setState(state(text));
      else view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: view.state.toText(text) } });
      changed(view.state.sliceDoc());
    },
    go: (line, column) => {
      const at = offset(view.state.doc, line, column);
      view.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: "center" }) });
      view.focus();
    },
    next: () => nextDiagnostic(view),
    check: () => forceLinting(view),
    end: () => view.destroy(),
  };
}
