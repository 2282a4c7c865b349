// The shop works without this file. With it, the cart opens in a drawer and
// changes without leaving the page.
"use strict";
(() => {
  const drawer = document.getElementById("cart-drawer");
  const body = document.getElementById("drawer-body");
  const count = document.getElementById("cart-count");
  const announce = document.getElementById("announce");
  document.documentElement.classList.add("js");

  // One change after the other: each answer shows what all before it have done.
  let last = Promise.resolve();
  const inTurn = (work) => (last = last.then(work, work));

  // fragment asks for the cart as a piece of a page.
  async function fragment(url, form) {
    const answer = await fetch(url, {
      method: form ? "POST" : "GET",
      body: form ? new URLSearchParams(new FormData(form)) : undefined,
      headers: { "X-Fragment": "cart" },
      signal: AbortSignal.timeout(10000),
    });
    if (answer.headers.get("X-Fragment") !== "cart") throw new Error("not a cart");
    return new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".cart");
  }

  // show puts a cart into the place of the one on the page, or into the drawer.
  function show(cart) {
    const place = document.querySelector("main .cart");
    const focused = document.activeElement && document.activeElement.id;
    if (place) {
      place.replaceWith(cart);
    } else {
      body.replaceChildren(cart);
      if (!drawer.open) drawer.showModal();
    }
    const again = focused && cart.querySelector("#" + CSS.escape(focused));
    if (again) again.focus();
    else if (!place) document.getElementById("drawer-title").focus();
    const n = Number(cart.dataset.count);
    count.hidden = !n;
    count.childNodes[1].textContent = n;
    announce.textContent = cart.dataset.message;
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.hasAttribute("data-once")) {
      const button = form.querySelector("button");
      setTimeout(() => { button.disabled = true; });
      return;
    }
    if (!form.hasAttribute("data-cart")) return;
    event.preventDefault();
    form.setAttribute("aria-busy", "true");
    inTurn(async () => {
      try {
        show(await fragment(form.action, form));
      } catch {
        announce.textContent = "That did not work. Please try again.";
      } finally {
        form.removeAttribute("aria-busy");
      }
    });
  });

  document.addEventListener("change", (event) => {
    if (event.target.hasAttribute("data-submit")) event.target.form.requestSubmit();
  });

  document.getElementById("cart-link").addEventListener("click", (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || document.querySelector("main .cart")) return;
    event.preventDefault();
    inTurn(() => fragment("/cart").then(show).catch(() => { location.href = "/cart"; }));
  });

  drawer.addEventListener("click", (event) => {
    if (event.target === drawer) drawer.close();
  });

  // Back from another page: a button that was switched off works again.
  addEventListener("pageshow", () => {
    for (const b of document.querySelectorAll("form[data-once] button")) b.disabled = false;
  });
})();
