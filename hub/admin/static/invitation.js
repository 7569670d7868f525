// An invitation's secret stands behind the # of its link, which no browser sends along: this script puts it into the form that
// takes it and sends that. Without this script people paste the link.
"use strict";
(() => {
  const form = document.querySelector("form[data-invitation]");
  const secret = location.hash.slice(1);
  if (!form || !/^[A-Za-z0-9_-]{20,100}$/.test(secret)) return;
  history.replaceState(null, "", location.pathname + location.search);
  form.elements.code.value = secret;
  form.submit();
})();
