// Elements. Text only ever gets in as text, so that whatever documents hold, it is shown and never obeyed.

/**
 * Make an element.
 * @param {string} name of the element, with classes behind dots: "p.quiet"
 * @param {object} properties: attributes; `on` holds listeners by event; false and null leave one out
 * @param {...(Node|string|number|null|Array)} children
 */
export function el(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (key === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(key, value === true ? "" : String(value));
    }
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined).map(asNode));
  return element;
}

function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

/** A table with a heading row, in a box of its own that scrolls sideways. */
export function table(label, columns, rows) {
  // The head of a column of figures stands above them.
  const heads = columns.map((column, at) => {
    const figures = rows[0]?.children[at].classList.contains("figure");
    return el(figures ? "th.figure" : "th", { scope: "col" }, column);
  });
  return el(
    "div.scroll",
    { tabindex: 0, role: "region", "aria-label": label },
    el("table", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows)),
  );
}

/** A labelled field. */
export function field(label, input, more = null) {
  return el("label.field", {}, el("span", {}, label), input, more);
}

/** "1,234 documents". */
export function counted(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** Bytes as people read them. */
export function bytes(count) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const power = count < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(count) / 10));
  return `${(count / 1024 ** power).toLocaleString("en", { maximumFractionDigits: power ? 1 : 0 })} ${units[power]}`;
}

/** A time, in microseconds since 1970, as the person's clock shows it; the exact one is in its title. */
export function moment(microseconds) {
  const date = new Date(Number(microseconds) / 1000);
  if (Number.isNaN(date.getTime())) return el("span", {}, String(microseconds));
  const shown = date.toLocaleString("sv-SE", { dateStyle: "short", timeStyle: "medium" });
  return el("time", { datetime: date.toISOString(), title: date.toISOString() }, shown);
}
