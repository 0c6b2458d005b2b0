for (const figure of document.querySelectorAll("figure.slider")) {
  const frames = JSON.parse(figure.querySelector("script").textContent);
  const [image, input, output] = ["img", "input", "output"].map((name) => figure.querySelector(name));
  const caption = image.alt.slice(0, image.alt.lastIndexOf("=") + 2);
  const show = () => {
    const frame = frames[input.value];
    output.textContent = frame.label;
    image.src = frame.src;
    image.alt = caption + frame.label;
    input.setAttribute("aria-valuetext", frame.label);
  };
  input.addEventListener("input", show);
  show();
}
