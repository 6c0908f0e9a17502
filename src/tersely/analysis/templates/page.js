"use strict";
(() => {
  // Numbers by size, words by alphabet, and what is missing last either way.
  const compare = (a, b, down) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const x = Number(a), y = Number(b);
    const order = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
    return down ? -order : order;
  };

  const sortBy = (table, head, down) => {
    const place = [...head.parentNode.children].indexOf(head);
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const key = (row) => row.cells[place].dataset.key;
    rows.sort((a, b) => compare(key(a), key(b), down));
    body.append(...rows);
  };

  document.addEventListener("click", (event) => {
    const head = event.target.closest("table.sortable th");
    if (!head) return;
    const before = head.getAttribute("aria-sort");
    // Numbers begin with the largest.
    const down = before ? before === "ascending" : head.classList.contains("number");
    sortBy(head.closest("table"), head, down);
  });

  const source = document.getElementById("posts");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const choice = document.getElementById("post-choice");
  const filter = document.getElementById("filter");
  const table = document.getElementById("summaries");
  const columns = ["configuration", "summary", "seed", "tokens", ...data.scores];

  const made = (name, text, kind) => {
    const element = document.createElement(name);
    element.textContent = text;
    if (kind) element.className = kind;
    return element;
  };

  const numeric = (place) => place > 1;

  columns.forEach((column, place) => {
    const head = document.createElement("th");
    head.scope = "col";
    head.className = `${numeric(place) ? "number" : ""} ${column.length < 10 ? "short" : ""}`.trim();
    const button = made("button", column);
    button.type = "button";
    head.append(button);
    table.tHead.rows[0].append(head);
  });

  data.posts.forEach((post, place) => {
    const start = post.post.length > 70 ? post.post.slice(0, 70) + "…" : post.post;
    const option = made("option", `${post.id}: ${start}`);
    option.value = String(place);
    choice.append(option);
  });

  const shown = (value, place) => {
    if (value === null || value === undefined) return "–";
    return place > 3 ? value.toFixed(3) : String(value);
  };

  const show = () => {
    const post = data.posts[Number(choice.value)];
    document.getElementById("post-text").textContent = post.post;
    document.getElementById("reference-text").textContent = post.reference;
    const wanted = filter.value.trim().toLowerCase();
    const rows = [];
    for (const [configuration, seed, text, length, ...scores] of post.summaries) {
      const name = data.configurations[configuration];
      if (!name.toLowerCase().includes(wanted)) continue;
      const row = document.createElement("tr");
      [name, text, seed, length, ...scores].forEach((value, place) => {
        const cell = numeric(place)
          ? made("td", shown(value, place), "number")
          : made("td", value, place === 1 ? "text" : "");
        cell.dataset.key = value === null ? "" : String(value);
        row.append(cell);
      });
      rows.push(row);
    }
    table.tBodies[0].replaceChildren(...rows);
    const sorted = table.querySelector("th[aria-sort]");
    if (sorted) sortBy(table, sorted, sorted.getAttribute("aria-sort") === "descending");
  };

  const step = (by) => {
    const count = data.posts.length;
    choice.value = String((Number(choice.value) + by + count) % count);
    show();
  };

  choice.addEventListener("change", show);
  filter.addEventListener("input", show);
  document.getElementById("earlier").addEventListener("click", () => step(-1));
  document.getElementById("later").addEventListener("click", () => step(1));
  show();
})();
