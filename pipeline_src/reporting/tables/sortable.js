// A click on a heading of the last heading row sorts the table by that column; another click
// turns the order round. Numbers sort by their first number, everything else as text.
(() => {
  if (window.sortableTables) return;
  window.sortableTables = true;
  const number = (text) => {
    const found = text.replace("\u2212", "-").match(/[-+]?\d+(\.\d+)?(e[-+]?\d+)?/i);
    return found && /^[\s~<]*[-+\u2212]?\d/.test(text) ? parseFloat(found[0]) : NaN;
  };
  const compare = (a, b, turn) => {
    const [x, y] = [number(a), number(b)];
    if (!isNaN(x) && !isNaN(y)) return turn * (x - y);
    // What is missing comes last either way.
    if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1;
    return turn * a.localeCompare(b);
  };
  const sort = (table, column, heading) => {
    const body = table.tBodies[0];
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const text = (row) => row.cells[column].textContent.trim();
    const rows = Array.from(body.rows);
    rows.sort((a, b) => compare(text(a), text(b), down ? -1 : 1));
    rows.forEach((row) => body.appendChild(row));
  };
  const prepare = (table) => {
    const headings = Array.from(table.tHead.rows).pop().cells;
    Array.from(headings).forEach((heading, column) => {
      heading.tabIndex = 0;
      heading.title = "sort";
      heading.addEventListener("click", () => sort(table, column, heading));
      heading.addEventListener("keydown", (event) => {
        if (event.key === "Enter") sort(table, column, heading);
      });
    });
  };
  document.addEventListener("DOMContentLoaded", () =>
    document.querySelectorAll("table.sortable").forEach(prepare));
})();
