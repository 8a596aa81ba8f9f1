// Compares how mails look as they came and as copies: where each text and each box is, and in which colours and fonts.
const NAMES = LIST;
async function frame(path) {
  const frame = document.createElement('iframe');
  frame.width = 760;
  frame.height = 900;
  const loaded = new Promise((done) => frame.addEventListener('load', done, { once: true }));
  frame.src = path;
  document.body.append(frame);
  await loaded;
  return frame.contentDocument;
}
function place(box) {
  return [box.left, box.top, box.width, box.height].map(Math.round).join(',');
}
function background(element) {
  for (let at = element; at; at = at.parentElement) {
    const colour = at.ownerDocument.defaultView.getComputedStyle(at).backgroundColor;
    if (colour !== 'rgba(0, 0, 0, 0)') return colour;
  }
  return 'none';
}
function looks(page) {
  const style = (element) => page.defaultView.getComputedStyle(element);
  const found = [];
  const texts = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    const parent = text.parentElement;
    if (!text.data.trim() || ['STYLE', 'SCRIPT', 'TITLE'].includes(parent.tagName)) continue;
    const range = page.createRange();
    range.selectNodeContents(text);
    const css = style(parent);
    const font = [css.color, css.fontSize, css.fontFamily, css.fontWeight, css.fontStyle, css.textAlign, css.lineHeight];
    found.push([text.data.trim(), place(range.getBoundingClientRect()), ...font, background(parent)].join(' ; '));
  }
  for (const box of page.querySelectorAll('img, table, td, th, hr, li, pre, blockquote, a')) {
    const css = style(box);
    found.push([box.tagName, place(box.getBoundingClientRect()), css.border, css.borderRadius, background(box)].join(' ; '));
  }
  return found;
}
async function compare() {
  for (const name of NAMES) {
    const [raw, copy] = [looks(await frame(`/raw/${name}`)), looks(await frame(`/copy/${name}`))];
    const other = raw.map((look, at) => (look === copy[at] ? '' : `${look} => ${copy[at]}`)).filter(Boolean);
    await fetch(`/compared/${name}/${raw.length}/${copy.length}/${other.length}/${encodeURIComponent(other.slice(0, 5).join(' | '))}`);
  }
  await fetch('/done');
}
compare();
